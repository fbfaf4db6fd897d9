# Vault Agent beside the attester: the attester writes a JWT, the agent logs in with it and keeps templates filled.
# Where `attester get` or `attester exec` will do, use those: the agent checks neither the answer nor whom it is for.
#
# A timer runs `attester token --config … --out /run/attestation/token.jwt` before the Vault token ends (300 s unless the
# role says otherwise). Every place here is on a memory-backed file system (/run is tmpfs on systemd machines): a JWT
# and a Vault token are secrets.

pid_file = "/run/attestation/agent.pid"

vault {
  # The attester takes both from the verified answer. Here the image has to carry them, measured like the rest.
  address = "https://vault.example.com:8200"
  ca_cert = "/etc/attestation/vault-ca.pem"
}

auto_auth {
  # Log in again for each new JWT. Without it the agent reads new files and throws them away until its token is dead:
  # the tokens of our roles may not renew themselves.
  enable_reauth_on_new_credentials = true

  method "jwt" {
    mount_path = "auth/attestation-default"

    config = {
      path = "/run/attestation/token.jwt"
      role = "confidential"

      # The default, said aloud: the file is gone after it was read, so no program logs in with it a second time. A shared
      # file would be gone for everybody, so give the agent one of its own.
      remove_jwt_after_reading = true
      # The agent follows symbolic links: the folder has to belong to the attester and be closed to others (0700).
      remove_jwt_follows_symlinks = true
    }
  }

  sink "file" {
    config = {
      path = "/run/attestation/vault-token"
      mode = 0600
    }
  }
}

template {
  destination = "/run/attestation/secrets/db.env"
  perms       = "0600"
  contents    = "{{ with secret \"secret/data/default/web/db\" }}DB_PASSWORD={{ .Data.data.password }}\n{{ end }}"

  # Refused or missing: leave with an error instead of starting anything without its secret.
  error_on_missing_key = true
}

template_config {
  exit_on_retry_failure = true
}
