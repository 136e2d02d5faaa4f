"""Who holds which samples: five ways to deal a data set to workers, and how unlike the workers then are."""

from asgd_lib.arguments import guard
from asgd_lib.partition.deal import dirichlet, feature_skew, iid, quantity_skew, shards
from asgd_lib.partition.report import counts, gradient_dissimilarity, report

__all__ = ["counts", "dirichlet", "feature_skew", "gradient_dissimilarity", "iid", "quantity_skew", "report", "shards"]

guard(__name__)
