# What Terraform has to do for vault-config/, and nothing else: above all, it reads no secret.
path "sys/auth" {
  capabilities = ["read"]
}

path "sys/auth/attestation-default" {
  capabilities = ["create", "read", "update", "delete", "sudo"]
}

path "sys/mounts/auth/attestation-default" {
  capabilities = ["read"]
}

path "sys/mounts/auth/attestation-default/tune" {
  capabilities = ["read", "update"]
}

path "auth/attestation-default/config" {
  capabilities = ["create", "read", "update"]
}

path "auth/attestation-default/role/+" {
  capabilities = ["create", "read", "update", "delete"]
}

path "sys/policies/acl/attestation-default_*" {
  capabilities = ["create", "read", "update", "delete"]
}

# The provider works under a short-lived child of the token that it is given.
path "auth/token/create" {
  capabilities = ["update"]
}

path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/revoke-self" {
  capabilities = ["update"]
}
