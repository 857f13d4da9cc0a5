package io.epidote.node;

import io.epidote.node.tls.PeerRole;
import io.epidote.node.tls.PeerRules;
import io.epidote.proto.stage.v1.DecodeServiceGrpc;
import io.epidote.proto.stage.v1.EncodeServiceGrpc;
import io.epidote.proto.stage.v1.NodeControlGrpc;
import io.epidote.proto.stage.v1.PrefillServiceGrpc;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import io.epidote.proto.v1.AdapterAdminGrpc;
import java.util.Map;
import java.util.Set;

/** Whose work a node that has TLS does. */
final class NodePeers {
  private static final Set<PeerRole> ROUTERS = Set.of(PeerRole.ROUTER);
  private static final Set<PeerRole> CONTROL = Set.of(PeerRole.ROUTER, PeerRole.ADMIN);

  /** Health and reflection are left to everybody with a certificate of the cluster. */
  static final PeerRules RULES =
      new PeerRules(
          Map.of(
              EncodeServiceGrpc.SERVICE_NAME,
              ROUTERS,
              PrefillServiceGrpc.SERVICE_NAME,
              ROUTERS,
              DecodeServiceGrpc.SERVICE_NAME,
              ROUTERS,
              NodeControlGrpc.SERVICE_NAME,
              CONTROL,
              AdapterAdminGrpc.SERVICE_NAME,
              CONTROL,
              TransferServiceGrpc.SERVICE_NAME,
              Set.of(PeerRole.NODE)));

  private NodePeers() {}
}
