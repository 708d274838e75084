"""The runnable side of newsbeam: the graph, its options, the command line and the sample newsroom."""
