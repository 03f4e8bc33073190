"""What following a chain has to remember"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this version."""
    with op.batch_alter_table("places", schema=None) as batch_op:
        batch_op.drop_column("blocks")
        batch_op.add_column(sa.Column("chain_id", sa.String(length=80), nullable=True))
        batch_op.add_column(sa.Column("last_root", sa.String(length=66), nullable=True))
        batch_op.add_column(sa.Column("proved", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("skipped", sa.JSON(), nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("gaps", sa.JSON(), nullable=False, server_default="[]"))
    op.create_table(
        "followed_blocks",
        sa.Column("chain", sa.String(length=200), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=66), nullable=False),
        sa.Column("parent_hash", sa.String(length=66), nullable=False),
        sa.Column("state_root", sa.String(length=66), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("gas_used", sa.BigInteger(), nullable=False),
        sa.Column("fork", sa.Text(), nullable=False),
        sa.Column("confirmed", sa.DateTime(timezone=True), nullable=True),
        sa.Column("folder", sa.String(length=32), nullable=False),
        sa.Column("path", sa.String(length=300), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["chain"], ["places.chain"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("chain", "number"),
        sa.UniqueConstraint("folder"),
    )
    op.create_table(
        "followed_batches",
        sa.Column("job", sa.String(length=32), nullable=False),
        sa.Column("chain", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("parent_hash", sa.String(length=66), nullable=False),
        sa.Column("first_hash", sa.String(length=66), nullable=False),
        sa.Column("last_hash", sa.String(length=66), nullable=False),
        sa.Column("pre_state_root", sa.String(length=66), nullable=False),
        sa.Column("post_state_root", sa.String(length=66), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["chain"], ["places.chain"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job"),
    )
    with op.batch_alter_table("followed_batches", schema=None) as batch_op:
        batch_op.create_index("followed_batches_by_block", ["chain", "state", "first"], unique=False)


def downgrade() -> None:
    """Back from it."""
    with op.batch_alter_table("followed_batches", schema=None) as batch_op:
        batch_op.drop_index("followed_batches_by_block")
    op.drop_table("followed_batches")
    op.drop_table("followed_blocks")
    with op.batch_alter_table("places", schema=None) as batch_op:
        for name in ("gaps", "skipped", "proved", "last_root", "chain_id"):
            batch_op.drop_column(name)
        batch_op.add_column(sa.Column("blocks", sa.JSON(), nullable=False, server_default="[]"))
