"""What nobody may read, what nobody may run, and what each role of the bucket may do."""
