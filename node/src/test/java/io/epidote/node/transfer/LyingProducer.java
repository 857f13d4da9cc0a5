package io.epidote.node.transfer;

import com.google.protobuf.ByteString;
import io.epidote.node.grpc.GrpcTransport;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.PullRequest;
import io.epidote.proto.stage.v1.PullResponse;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.stub.ServerCalls;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.zip.CRC32C;

/** Answers every pull with the same messages, byte for byte. */
final class LyingProducer implements AutoCloseable {
  private final Server server;

  LyingProducer(List<byte[]> messages) {
    MethodDescriptor<PullRequest, byte[]> pull =
        TransferServiceGrpc.getPullMethod().toBuilder(
                TransferServiceGrpc.getPullMethod().getRequestMarshaller(), new Verbatim())
            .build();
    InetSocketAddress any = new InetSocketAddress("127.0.0.1", 0);
    server =
        GrpcTransport.start(
            GrpcTransport.server(any)
                .addService(
                    ServerServiceDefinition.builder(TransferServiceGrpc.SERVICE_NAME)
                        .addMethod(
                            pull,
                            ServerCalls.asyncServerStreamingCall((request, observer) -> {
                              messages.forEach(observer::onNext);
                              observer.onCompleted();
                            }))
                        .build()),
            any);
  }

  private static final class Verbatim implements MethodDescriptor.Marshaller<byte[]> {
    @Override
    public InputStream stream(byte[] message) {
      return new ByteArrayInputStream(message);
    }

    @Override
    public byte[] parse(InputStream stream) {
      throw new UnsupportedOperationException();
    }
  }

  Handle handle(long bytes) {
    return Handle.newBuilder()
        .setNodeId("liar")
        .setAddress("127.0.0.1:" + server.getPort())
        .setBytes(bytes)
        .build();
  }

  /** A true chunk. */
  static PullResponse.Builder chunk(long offset, byte[] data) {
    CRC32C crc = new CRC32C();
    crc.update(data);
    return PullResponse.newBuilder()
        .setOffset(offset)
        .setCrc32C((int) crc.getValue())
        .setData(ByteString.copyFrom(data));
  }

  @Override
  public void close() {
    server.shutdownNow();
  }
}
