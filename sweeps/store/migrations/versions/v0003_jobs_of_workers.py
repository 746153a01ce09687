"""What started each worker."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; of the workers that are there nothing is known."""
    # The default stays: a worker of the version before, which runs on, registers without a job.
    op.add_column("sweeps_workers", sa.Column("job", sa.String(255), nullable=False, server_default=""))
