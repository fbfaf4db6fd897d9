# Role kind "instance": what one workload reads on one machine (one enrolled AK, one chip). Rendered by vault-config.
#
# `instance` ("i:" and a hash over the workload's uuid and the machine) is the alias name and determines `tenant` and
# `workload`. "_instance" is no name a tenant or workload can have, so no workload policy's path reaches below it.
# Why the path ends in "+": workload.hcl.

path "${secrets_mount}/data/{{identity.entity.aliases.${accessor}.metadata.tenant}}/_instance/{{identity.entity.aliases.${accessor}.metadata.workload}}/{{identity.entity.aliases.${accessor}.metadata.instance}}/+" {
  capabilities = ["read"]
}
