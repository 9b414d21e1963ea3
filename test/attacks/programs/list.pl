# Requests of a list, and nothing else.
use strict;
use warnings;
use lib $ENV{ATTACKS};
use Probe;

ask_list($ENV{REQUESTS});
