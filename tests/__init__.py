"""Everything that is tested."""

import warnings

# Twisted's own way with pyOpenSSL, hundreds of times a run: what is ours to mend would drown in it.
warnings.filterwarnings("ignore", "Passing pyOpenSSL", DeprecationWarning)
