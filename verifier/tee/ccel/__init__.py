"""CCEL logs (``ccel``): what a trust domain's firmware measured into its RTMRs. No scheme by itself: it counts beside a TD quote."""
