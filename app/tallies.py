"""How often something happened, by the hour: what the operator's charts are drawn from."""

import sqlalchemy as sa

from app.database import UTCDateTime, metadata

tallies = sa.Table(
    "tallies",
    metadata,
    sa.Column("hour", UTCDateTime, primary_key=True, comment="Beginning of the hour"),
    sa.Column(
        "kind", sa.Text, primary_key=True, comment="What is counted: call, refusal, token or registration"
    ),
    sa.Column(
        "label", sa.Text, primary_key=True, comment="Which: a tool, an endpoint with an error, a grant type"
    ),
    sa.Column("count", sa.BigInteger, nullable=False, comment="How often"),
    comment="Counts by the hour, for the charts of the operator's pages",
)
