// Prints the poses of a graph with `publish: {pose.pose: ENDPOINT}`: ./subscriber ENDPOINT
//
//   apt-get install g++ libzmq3-dev libmsgpack-cxx-dev
//   g++ -std=c++17 -DMSGPACK_NO_BOOST subscriber.cpp -o subscriber -lzmq
#include <zmq.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <msgpack.hpp>
#include <stdexcept>
#include <string>
#include <vector>

using Map = std::map<std::string, msgpack::object>;

// Receives all parts of the next message: topic, header, one buffer for each array.
std::vector<std::string> receive(void* socket) {
  std::vector<std::string> parts;
  int more = 1;
  while (more) {
    zmq_msg_t part;
    zmq_msg_init(&part);
    if (zmq_msg_recv(&part, socket, 0) < 0) throw std::runtime_error(zmq_strerror(zmq_errno()));
    parts.emplace_back(static_cast<char*>(zmq_msg_data(&part)), zmq_msg_size(&part));
    more = zmq_msg_more(&part);
    zmq_msg_close(&part);
  }
  return parts;
}

// Prints stream, seq, label and the 16 numbers of T_cur_prev, row by row, if there are any.
void print_pose(const Map& header, const std::vector<std::string>& parts) {
  const auto fields = header.at("fields").as<Map>();
  std::printf("%s %lld %s", header.at("stream").as<std::string>().c_str(),
              header.at("seq").as<long long>(), fields.at("label").as<std::string>().c_str());
  const auto arrays = header.at("parts").as<std::vector<std::vector<msgpack::object>>>();
  for (size_t i = 0; i < arrays.size(); ++i) {
    double T_cur_prev[16];  // little endian on the wire, as on this machine
    const std::string& buffer = parts.at(2 + i);
    if (arrays[i].at(0).as<std::string>() != "T_cur_prev") continue;
    if (buffer.size() != sizeof T_cur_prev) throw std::runtime_error("T_cur_prev is not 4 x 4");
    std::memcpy(T_cur_prev, buffer.data(), sizeof T_cur_prev);
    for (double value : T_cur_prev) std::printf(" %.17g", value);
  }
  std::printf("\n");
  std::fflush(stdout);
}

int main(int argc, char** argv) try {
  if (argc != 2) throw std::runtime_error("usage: subscriber ENDPOINT, as tcp://127.0.0.1:5601");
  void* context = zmq_ctx_new();
  void* socket = zmq_socket(context, ZMQ_SUB);
  const std::string topic = "pose.pose/";
  zmq_setsockopt(socket, ZMQ_SUBSCRIBE, topic.data(), topic.size());
  if (zmq_connect(socket, argv[1]) != 0) throw std::runtime_error(zmq_strerror(zmq_errno()));
  for (std::string kind; kind != "eos";) {
    const auto parts = receive(socket);
    const auto handle = msgpack::unpack(parts.at(1).data(), parts.at(1).size());
    const auto header = handle.get().as<Map>();
    kind = header.at("kind").as<std::string>();
    if (kind == "data") print_pose(header, parts);
  }
  zmq_close(socket);
  zmq_ctx_term(context);
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
