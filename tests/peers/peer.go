// Go's net/http with TLS. `peer client BASE CERTIFICATE h1|h2 1.2|1.3` sends GET BASE/one, POST BASE/two with a
// body of 100,000 bytes and GET BASE/three over one connection; `peer server PORT CERTIFICATE KEY` answers 200
// to everything; `peer` alone waits to be ended.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"time"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func client(base, certificate, protocol, version string) {
	pem, err := os.ReadFile(certificate)
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}
	if version == "1.2" {
		config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: protocol == "h2"}}
	for _, wanted := range []struct {
		method, path string
		length       int
	}{{"GET", "/one", 0}, {"POST", "/two", 100000}, {"GET", "/three", 0}} {
		var body io.Reader
		if wanted.length > 0 {
			body = bytes.NewReader(bytes.Repeat([]byte("b"), wanted.length))
		}
		request, err := http.NewRequest(wanted.method, base+wanted.path, body)
		must(err)
		request.Header.Set("Authorization", "Bearer from-go")
		response, err := client.Do(request)
		must(err)
		_, err = io.Copy(io.Discard, response.Body)
		must(err)
		response.Body.Close()
	}
}

func main() {
	if len(os.Args) < 2 {
		time.Sleep(time.Minute)
		return
	}
	if os.Args[1] == "client" {
		client(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
		return
	}
	http.HandleFunc("/", func(writer http.ResponseWriter, request *http.Request) {
		io.Copy(io.Discard, request.Body)
		io.WriteString(writer, "ok\n")
	})
	must(http.ListenAndServeTLS("127.0.0.1:"+os.Args[2], os.Args[3], os.Args[4], nil))
}
