# What every role's tokens may do with themselves. vault-config puts it behind each of its policies.

path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/revoke-self" {
  capabilities = ["update"]
}

# No auth/token/renew-self: Vault's renewal asks only whether the role still exists. Who wants to stay attests again.
