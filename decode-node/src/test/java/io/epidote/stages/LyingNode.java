package io.epidote.stages;

import com.google.protobuf.ByteString;
import io.epidote.node.grpc.GrpcTransport;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.PullRequest;
import io.epidote.proto.stage.v1.PullResponse;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import io.grpc.Server;
import io.grpc.stub.StreamObserver;
import java.net.InetSocketAddress;
import java.util.function.BiConsumer;
import java.util.zip.CRC32C;

/** A node whose transfer service sends what a test wants it to send. */
final class LyingNode implements AutoCloseable {
  private final Server server;

  LyingNode(BiConsumer<Handle, StreamObserver<PullResponse>> behaviour) {
    InetSocketAddress any = new InetSocketAddress("127.0.0.1", 0);
    server =
        GrpcTransport.start(
            GrpcTransport.server(any)
                .addService(
                    new TransferServiceGrpc.TransferServiceImplBase() {
                      @Override
                      public void pull(PullRequest request, StreamObserver<PullResponse> observer) {
                        behaviour.accept(request.getHandle(), observer);
                      }
                    }),
            any);
  }

  /** This node's handle in place of a true one. */
  Handle inPlaceOf(Handle handle) {
    return handle.toBuilder()
        .setNodeId("liar")
        .setAddress("127.0.0.1:" + server.getPort())
        .clearBulkPort()
        .build();
  }

  static PullResponse chunk(long offset, byte[] data) {
    CRC32C crc = new CRC32C();
    crc.update(data);
    return PullResponse.newBuilder()
        .setOffset(offset)
        .setCrc32C((int) crc.getValue())
        .setData(ByteString.copyFrom(data))
        .build();
  }

  @Override
  public void close() {
    server.shutdownNow();
  }
}
