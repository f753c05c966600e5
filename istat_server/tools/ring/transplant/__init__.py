"""`istat ring transplant`: two trees of ring files give each other what one has and the other has not, by istatd's
messages. Paths that come over the network are looked up among the files that were found here, and never opened."""
