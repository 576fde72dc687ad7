output "root" {
  description = "The setting `root`."
  value       = "s3://${aws_s3_bucket.lake.bucket}/${var.prefix}"
}

output "roles" {
  description = "ARN of each role, for the annotations of the service accounts."
  value       = { for name, role in aws_iam_role.lake : name => role.arn }
}
