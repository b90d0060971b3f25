"""`sidecar compare`: asks a Cantaloupe and the sidecar the same, and reports where the answers differ."""
