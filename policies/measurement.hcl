# Role kind "measurement": what one measured state reads, whichever workload of the role runs it. Rendered by vault-config.
#
# `measurement_id` ("m:" and a hash over tenant, tee, policy and the matched identities with their versions) is the alias
# name and determines `tenant`, `tee` and `policy`. It does not determine the workload, which therefore must not be
# mapped or read here: two workloads share the alias, and the last login's metadata would win. Why the path ends in
# "+": workload.hcl.

path "${secrets_mount}/data/{{identity.entity.aliases.${accessor}.metadata.tenant}}/_measurement/{{identity.entity.aliases.${accessor}.metadata.tee}}/{{identity.entity.aliases.${accessor}.metadata.policy}}/{{identity.entity.aliases.${accessor}.metadata.measurement_id}}/+" {
  capabilities = ["read"]
}
