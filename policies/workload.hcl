# Role kind "workload": what one workload reads, whichever machine it runs on. Rendered by vault-config.
#
# The path is built from alias metadata, which Vault inserts unescaped: a workload named "+" would read every workload
# of the tenant, "acme/Cat" would share "acme/cat"'s alias. What keeps that out: names match
# ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ where the verifier loads them, in its API and in mint, and the role binds the names
# it was applied with. Only `tenant` and `workload` may be read here: `sub`, the alias name, determines both, so a later
# login cannot change what an earlier token reads. A claim that is missing removes the rule, it does not widen it.
#
# The path ends in "+", one segment, and not in an open glob: over KV version 2 an open glob tells a token more than its path says
# (docs/vault.md, "What a policy grants"). So the name of a secret is one segment.

path "${secrets_mount}/data/{{identity.entity.aliases.${accessor}.metadata.tenant}}/{{identity.entity.aliases.${accessor}.metadata.workload}}/+" {
  capabilities = ["read"]
}
