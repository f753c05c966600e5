"""Many files together: `distribution` sums them up, `snapshots` keeps and compares them, `heatmap` draws them, and
`peeking` tells which part of each is on which page. Who walks through them is `istat.pagecache.scanning`."""
