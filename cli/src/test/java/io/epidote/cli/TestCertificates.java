package io.epidote.cli;

import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.CertificateBuilder.KeyUsage;
import io.netty.pkitesting.X509Bundle;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.time.Instant;
import java.util.List;

/** An authority, and PEM files of certificates that it gave. */
final class TestCertificates {
  private final X509Bundle authority;

  TestCertificates(String name) throws Exception {
    authority =
        new CertificateBuilder()
            .ecp256()
            .subject("CN=" + name)
            .setIsCertificateAuthority(true)
            .setKeyUsage(true, KeyUsage.keyCertSign, KeyUsage.digitalSignature)
            .buildSelfSigned();
  }

  String pem() {
    return authority.getCertificatePEM();
  }

  /** A member's certificate for an hour. */
  X509Bundle member(String name, List<String> addresses, String... roles) throws Exception {
    return issue(name, addresses, Instant.now().plus(Duration.ofHours(1)), roles);
  }

  /** One that was valid until a minute ago. */
  X509Bundle expired(String name, List<String> addresses, String... roles) throws Exception {
    return issue(name, addresses, Instant.now().minus(Duration.ofMinutes(1)), roles);
  }

  private X509Bundle issue(String name, List<String> addresses, Instant until, String... roles)
      throws Exception {
    CertificateBuilder builder =
        new CertificateBuilder()
            .ecp256()
            .subject("CN=" + name)
            .notBefore(Instant.now().minus(Duration.ofDays(1)))
            .notAfter(until)
            .setKeyUsage(true, KeyUsage.digitalSignature)
            .addExtendedKeyUsageServerAuth()
            .addExtendedKeyUsageClientAuth()
            .addSanDnsName("localhost");
    for (String address : addresses) {
      builder.addSanIpAddress(address);
    }
    for (String role : roles) {
      builder.addSanUriName(URI.create("spiffe://cluster.test/epidote/" + role));
    }
    return builder.buildIssuedBy(authority);
  }

  /** Options that name files of a folder. */
  static TlsOptions options(Path folder) {
    TlsOptions options = new TlsOptions();
    options.cert = folder.resolve("cert.pem");
    options.key = folder.resolve("key.pem");
    options.ca = folder.resolve("ca.pem");
    return options;
  }

  /** Writes a certificate, its key and whom it trusts, each file at once. */
  static TlsOptions write(Path folder, X509Bundle bundle, String authorities) throws IOException {
    Files.createDirectories(folder);
    replace(folder.resolve("ca.pem"), authorities);
    replace(folder.resolve("cert.pem"), bundle.getCertificatePEM());
    replace(folder.resolve("key.pem"), bundle.getPrivateKeyPEM());
    return options(folder);
  }

  private static void replace(Path file, String text) throws IOException {
    Path next = file.resolveSibling(file.getFileName() + ".next");
    Files.writeString(next, text);
    Files.move(next, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }
}
