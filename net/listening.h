// Listens on one port with several sockets of the kernel, for a ZeroMQ socket. The kernel keeps at most
// net.core.somaxconn (4096) connections for one of them until they are accepted and then drops the first
// packets of more, so that their dialers try again only after 1, 3 and 7 s; and ZeroMQ accepts one connection
// of each per turn of an I/O thread.
#pragma once
#include <cstdint>
#include <string>

#include "net/zmq_socket.h"

namespace covey {

inline constexpr int kListeningSockets = 4;  // of a port: 16,384 connections may wait where all nodes come at once

// `host`: an IPv4 or IPv6 address; port 0: any that is free. Returns the endpoint as ZeroMQ names it.
// Errors: kUnavailable naming it where the port is taken, by another process of the same user too;
// kInvalidArgument for a host that is no address.
Result<std::string> listen_on(ZmqSocket& socket, const std::string& host, std::uint16_t port);

}  // namespace covey
