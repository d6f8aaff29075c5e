# Signs and sends with Perl's Net::Amazon::Signature::V4. See signers.py.
use strict;
use warnings;
use HTTP::Request;
use JSON::PP;
use LWP::UserAgent;
use Net::Amazon::Signature::V4;
use POSIX qw(strftime);
use URI;

my $job = decode_json(do { local $/; <STDIN> });
my $signer = Net::Amazon::Signature::V4->new($job->{key_id}, $job->{secret}, $job->{region}, $job->{service});
my $client = LWP::UserAgent->new;
my $address = URI->new($job->{url});
my $host = $address->port == $address->default_port ? $address->host : $address->host_port;
for my $call (@{ $job->{calls} }) {
    my $request = HTTP::Request->new(POST => "$job->{url}/$call->{operation}", [%{ $call->{headers} }], $call->{body});
    $request->header(Host => $host, "X-Amz-Date" => strftime("%Y%m%dT%H%M%SZ", gmtime));
    my $answer = $client->request($signer->sign($request));
    print encode_json({ status => $answer->code + 0, body => $answer->decoded_content }), "\n";
}
