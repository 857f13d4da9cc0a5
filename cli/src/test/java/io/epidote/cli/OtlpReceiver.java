package io.epidote.cli;

import com.sun.net.httpserver.HttpServer;
import io.opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;
import io.opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse;
import io.opentelemetry.proto.common.v1.AnyValue;
import io.opentelemetry.proto.common.v1.KeyValue;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Collectors;

/** A collector that takes OTLP over HTTP and keeps what it is sent. */
final class OtlpReceiver implements AutoCloseable {
  /**
   * A span as it came.
   *
   * @param parent hex; empty for none
   * @param instance of the service that sent it
   * @param isError whether its status is an error
   */
  record Received(
      String trace,
      String id,
      String parent,
      String name,
      String kind,
      String service,
      String instance,
      Map<String, AnyValue> attributes,
      boolean isError,
      long nanos) {}

  private final List<Received> spans = new CopyOnWriteArrayList<>();
  private final HttpServer server;

  OtlpReceiver() throws IOException {
    server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    server.createContext(
        "/v1/traces",
        exchange -> {
          try (exchange) {
            keep(ExportTraceServiceRequest.parseFrom(exchange.getRequestBody()));
            byte[] answer = ExportTraceServiceResponse.getDefaultInstance().toByteArray();
            exchange.getResponseHeaders().set("Content-Type", "application/x-protobuf");
            exchange.sendResponseHeaders(200, answer.length == 0 ? -1 : answer.length);
          }
        });
    server.start();
  }

  URI endpoint() {
    return URI.create("http://127.0.0.1:" + server.getAddress().getPort());
  }

  private void keep(ExportTraceServiceRequest request) {
    request
        .getResourceSpansList()
        .forEach(resource -> {
          Map<String, AnyValue> of = attributes(resource.getResource().getAttributesList());
          resource.getScopeSpansList().stream()
              .flatMap(scope -> scope.getSpansList().stream())
              .map(span ->
                  new Received(
                      hex(span.getTraceId().toByteArray()),
                      hex(span.getSpanId().toByteArray()),
                      hex(span.getParentSpanId().toByteArray()),
                      span.getName(),
                      span.getKind().name(),
                      text(of, "service.name"),
                      text(of, "service.instance.id"),
                      attributes(span.getAttributesList()),
                      span.getStatus().getCodeValue() == 2,
                      span.getEndTimeUnixNano() - span.getStartTimeUnixNano()))
              .forEach(spans::add);
        });
  }

  private static String text(Map<String, AnyValue> attributes, String key) {
    return attributes.getOrDefault(key, AnyValue.getDefaultInstance()).getStringValue();
  }

  private static Map<String, AnyValue> attributes(List<KeyValue> pairs) {
    return pairs.stream().collect(Collectors.toMap(KeyValue::getKey, KeyValue::getValue));
  }

  private static String hex(byte[] bytes) {
    return HexFormat.of().formatHex(bytes);
  }

  /** Those of one trace. */
  List<Received> trace(String id) {
    return spans.stream().filter(span -> span.trace().equals(id)).toList();
  }

  @Override
  public void close() {
    server.stop(0);
  }
}
