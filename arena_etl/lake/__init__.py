"""Delta tables on a folder or on S3: schemas, write-audit-publish, releases, SQL."""
