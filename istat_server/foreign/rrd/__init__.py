"""RRD files of rrdtool: their bytes, their dumps, and folders of them. Knows no store of ours."""
