package cms

// ToDER lets the fuzz targets state that the rewriting is stable.
var ToDER = toDER
