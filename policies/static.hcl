# Static form of workload.hcl: one policy a workload, nothing in it depends on identity metadata. Rendered by vault-config
# for roles with `static_policy = true`, which serve exactly one workload. Why the path ends in "+":
# workload.hcl.

path "${secrets_mount}/data/${tenant}/${workload}/+" {
  capabilities = ["read"]
}
