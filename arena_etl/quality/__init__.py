"""The gates between the stages: Great Expectations suites, and the rows that they hold back."""
