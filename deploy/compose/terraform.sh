#!/bin/sh
# Let the verifier's tokens into Vault: apply vault-config/, then plan again, which has to find nothing to do.
set -eu
umask 077

# Terraform writes beside what it reads; its state and the token stay in memory.
work=/run/terraform
cp -r /usr/local/lib/vab/vault-config /usr/local/lib/vab/policies "$work"
cd "$work/vault-config/examples/demo"
VAULT_TOKEN=$(cat /run/setup/terraform-token)
export VAULT_TOKEN

terraform init -input=false -no-color >/run/terraform/init.log || { cat /run/terraform/init.log; exit 1; }
terraform apply -input=false -no-color -auto-approve >/run/terraform/apply.log || { cat /run/terraform/apply.log; exit 1; }
sed -n 's/^\(Apply complete.*\)$/terraform: \1/p' /run/terraform/apply.log
terraform plan -input=false -no-color -detailed-exitcode >/run/terraform/plan.log || { cat /run/terraform/plan.log; exit 1; }
echo "terraform: a second plan finds nothing to do"
touch "$work/done"

# Staying, so that a further `up` does not apply a second time with an empty state.
unset VAULT_TOKEN
trap 'exit 0' TERM INT
sleep infinity &
wait
