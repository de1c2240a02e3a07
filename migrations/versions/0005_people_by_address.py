"""People are found by their address, however it is written.

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_users_email", "users", [sa.text("lower(email)")])


def downgrade() -> None:
    op.drop_index("ix_users_email", "users")
