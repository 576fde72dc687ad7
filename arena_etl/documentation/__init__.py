"""The pages of docs/reference/, written from the code, and what the site needs beside docs/."""
