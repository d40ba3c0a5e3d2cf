package record

// LZ4HeaderChecksum is for tests that make frames by hand.
var LZ4HeaderChecksum = lz4HeaderChecksum
