# The lake's bucket on S3, and three roles that may do no more than they need: who writes the lake, who trains, who reads.
#   terraform -chdir=infra/terraform init
#   terraform -chdir=infra/terraform apply -var bucket=my-arena -var oidc_provider_arn=... -var oidc_provider=...

terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

resource "aws_s3_bucket" "lake" {
  bucket = var.bucket
}

resource "aws_s3_bucket_public_access_block" "lake" {
  bucket                  = aws_s3_bucket.lake.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "lake" {
  bucket = aws_s3_bucket.lake.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

# Delta tables keep their own versions, and `arena-etl gc` deletes what no kept release names. The bucket only sweeps up what
# no program can see: uploads that were never finished.
resource "aws_s3_bucket_lifecycle_configuration" "lake" {
  bucket = aws_s3_bucket.lake.id
  rule {
    id     = "unfinished-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

locals {
  objects = "${aws_s3_bucket.lake.arn}/${var.prefix}"
  roles = {
    writer = {
      account = "arena-etl"
      write   = ["${local.objects}/*"]
    }
    # Weights, metrics and signs of life of a training: nothing else of the lake can be changed from a pod that runs model code.
    trainer = {
      account = "arena-etl-trainer"
      write   = ["${local.objects}/checkpoints/*", "${local.objects}/_staging/training_runs/*"]
    }
    reader = {
      account = "arena-etl-reader"
      write   = []
    }
  }
}

data "aws_iam_policy_document" "access" {
  for_each = local.roles

  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.lake.arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${var.prefix}/*", var.prefix]
    }
  }

  statement {
    sid       = "Read"
    actions   = ["s3:GetObject"]
    resources = ["${local.objects}/*"]
  }

  dynamic "statement" {
    for_each = length(each.value.write) > 0 ? [each.value.write] : []
    content {
      sid       = "Write"
      actions   = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
      resources = statement.value
    }
  }
}

# Roles are taken by Kubernetes service accounts; there is no key that could leak.
data "aws_iam_policy_document" "trust" {
  for_each = local.roles

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${var.oidc_provider}:sub"
      values   = ["system:serviceaccount:${var.namespace}:${each.value.account}"]
    }
  }
}

resource "aws_iam_role" "lake" {
  for_each           = local.roles
  name               = "arena-etl-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.trust[each.key].json
}

resource "aws_iam_role_policy" "lake" {
  for_each = local.roles
  role     = aws_iam_role.lake[each.key].id
  policy   = data.aws_iam_policy_document.access[each.key].json
}
