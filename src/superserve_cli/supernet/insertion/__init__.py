"""Automatic insertion (SuperServe, appendix A.1): a plain module becomes a SuperNet, and its source stays as it is."""
