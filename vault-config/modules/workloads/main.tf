# Reads the workload documents out of a folder of trust documents (policies/trust), for the module's `workloads`.

variable "trust_dir" {
  description = "Folder of trust documents: *.yaml and *.yml, several documents a file."
  type        = string
  nullable    = false
}

locals {
  files = sort(setunion(fileset(var.trust_dir, "**/*.yaml"), fileset(var.trust_dir, "**/*.yml")))

  # yamldecode reads one document; the files separate theirs by a line of three hyphens.
  texts     = flatten([for name in local.files : split("\n---\n", "\n${replace(file("${var.trust_dir}/${name}"), "\r\n", "\n")}\n")])
  documents = [for text in local.texts : yamldecode(text)]
}

output "workloads" {
  description = "All workload documents, in the order of the files' names."
  value       = [for document in local.documents : document if try(document.kind, "") == "workload"]
}
