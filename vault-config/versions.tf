terraform {
  required_version = ">= 1.6"

  required_providers {
    vault = {
      source = "hashicorp/vault"
      # 3.3.1 is what builds from Go's module index (tools/parts.py); nothing newer is needed, and 5.x works as well.
      version = ">= 3.3.1"
    }
  }
}
