#!/bin/sh
# Open the empty Vault, put the secrets into it and leave a token that may do what Terraform has to do, and no more.
# Keys and tokens go to memory-backed files and nowhere else; the root token ends with this script.
set -eu
umask 077

keys=/run/private/init
vault operator init -key-shares=1 -key-threshold=1 >"$keys"
VAULT_TOKEN=$(sed -n 's/^Initial Root Token: //p' "$keys")
export VAULT_TOKEN
# From stdin, here and below: a command line is everybody's to read.
sed -n 's/^Unseal Key 1: //p' "$keys" | tr -d '\n' | vault write sys/unseal key=- >/dev/null
rm "$keys"
until vault status >/dev/null 2>&1; do sleep 0.2; done
echo "vault-setup: Vault is open"

vault secrets enable -path=secret -version=2 kv >/dev/null
for path in web/db db/admin; do
  password=$(head -c 24 /dev/urandom | base64 | tr -d '\n')
  printf %s "$password" | vault kv put -mount=secret "default/$path" password=- >/dev/null
  # The digest of 24 random bytes tells nothing of them, and shows later that the right ones arrived.
  echo "vault-setup: default/$path stored, SHA-256 $(printf %s "$password" | sha256sum | cut -d ' ' -f 1)"
done

vault policy write terraform /usr/local/lib/vab/compose/terraform-policy.hcl >/dev/null
vault token create -orphan -policy=terraform -no-default-policy -ttl=30m -field=token >/run/setup/terraform-token.new
mv /run/setup/terraform-token.new /run/setup/terraform-token
vault token revoke -self >/dev/null
echo "vault-setup: a token for Terraform is there, the root token is revoked"

# The token's volume is in memory and lasts while this container runs.
trap 'exit 0' TERM INT
sleep infinity &
wait
