output "mount_path" {
  description = "Path of the auth mount below auth/: what workload documents name in vault.mount."
  value       = vault_jwt_auth_backend.this.path
}

output "accessor" {
  description = "The mount's accessor: templated policies and identity lookups name it."
  value       = vault_jwt_auth_backend.this.accessor
}

output "issuer" {
  description = "The only issuer that the mount accepts."
  value       = vault_jwt_auth_backend.this.bound_issuer
}

output "audience" {
  description = "The only audience that the mount's roles accept."
  value       = var.audience
}

output "roles" {
  description = "Names of the roles with the workloads that each one serves."
  value       = { for name, role in vault_jwt_auth_backend_role.this : role.role_name => sort(local.served[name][*].name) }
}

output "policies" {
  description = "Names of the policies with their text."
  value       = { for name, policy in vault_policy.this : policy.name => policy.policy }
}
