# A Vault that keeps nothing: every `docker compose up` begins with an empty one, and no secret reaches a disk.
storage "inmem" {}

listener "tcp" {
  address            = "0.0.0.0:8200"
  tls_cert_file      = "/run/tls/certificate.pem"
  tls_key_file       = "/run/tls/key.pem"
  tls_min_version    = "tls12"
  telemetry {
    unauthenticated_metrics_access = false
  }
}

api_addr      = "https://vault:8200"
disable_mlock = false
ui            = false
log_level     = "warn"
