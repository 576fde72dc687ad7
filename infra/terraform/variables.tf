variable "bucket" {
  description = "Name of the bucket that holds the lake."
  type        = string
}

variable "prefix" {
  description = "Where in the bucket the lake lies: root is s3://BUCKET/PREFIX."
  type        = string
  default     = "lake"
}

variable "namespace" {
  description = "Kubernetes namespace of Airflow and of the training pods."
  type        = string
  default     = "arena"
}

variable "oidc_provider_arn" {
  description = "ARN of the cluster's OpenID Connect provider."
  type        = string
}

variable "oidc_provider" {
  description = "The same provider without https://, as it stands in conditions."
  type        = string
}
