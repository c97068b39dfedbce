package machineinfo

// Parse lets the fuzz target read content that nobody signed.
var Parse = parse
