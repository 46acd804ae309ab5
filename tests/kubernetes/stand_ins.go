// Small programs in the place of those that Kubernetes' images hold and Debian's source does not: which one it is, its own name says.
//
//	pause                       holds a pod's namespaces
//	go-runner                   runs a command with its output in a file and on stdout
//	kube-apiserver-healthcheck  answers kubelet's plain HTTP probes of an API server that lets nobody in without a certificate
//	hello                       a web server that says who it is
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	programs := map[string]func() error{"pause": pause, "go-runner": run, "kube-apiserver-healthcheck": healthcheck, "hello": hello}
	name := filepath.Base(os.Args[0])
	program, known := programs[name]
	if !known {
		log.Fatalf("%s is none of the stand-ins", name)
	}
	if err := program(); err != nil {
		log.Fatalf("%s: %v", name, err)
	}
}

// pause waits for the signal to end; as the first process of a pod it buries children that nobody else waits for.
func pause() error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return nil
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
	return nil
}

// run hands signals on to the command and ends with its exit code.
func run() error {
	path := flag.String("log-file", "", "where the command's output goes")
	both := flag.Bool("also-stdout", false, "and to stdout")
	flag.Parse()
	file, err := os.OpenFile(*path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var output io.Writer = file
	if *both {
		output = io.MultiWriter(file, os.Stdout)
	}
	command := exec.Command(flag.Arg(0), flag.Args()[1:]...)
	command.Stdout, command.Stderr = output, output
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if err := command.Start(); err != nil {
		return err
	}
	go func() {
		for received := range signals {
			_ = command.Process.Signal(received)
		}
	}()
	if err := command.Wait(); err != nil && command.ProcessState == nil {
		return err
	}
	code := command.ProcessState.ExitCode()
	if code < 0 { // ended by a signal
		code = 1
	}
	os.Exit(code)
	return nil
}

// healthcheck asks the API server on this machine, with a client certificate, what it is asked itself.
func healthcheck() error {
	caFile := flag.String("ca-cert", "", "whom to trust")
	certFile := flag.String("client-cert", "", "with which certificate to ask")
	keyFile := flag.String("client-key", "", "and its key")
	flag.Parse()
	authorities := x509.NewCertPool()
	pem, err := os.ReadFile(*caFile)
	if err != nil {
		return err
	}
	if !authorities.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate", *caFile)
	}
	certificate, err := tls.LoadX509KeyPair(*certFile, *keyFile)
	if err != nil {
		return err
	}
	settings := &tls.Config{RootCAs: authorities, Certificates: []tls.Certificate{certificate}}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: settings}, Timeout: 15 * time.Second}
	handle := func(response http.ResponseWriter, request *http.Request) {
		answer, err := client.Get("https://127.0.0.1" + request.URL.Path)
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		response.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(response, answer.Body)
	}
	http.HandleFunc("/livez", handle)
	http.HandleFunc("/readyz", handle)
	http.HandleFunc("/healthz", handle)
	http.HandleFunc("/.kube-apiserver-healthcheck/healthz", func(response http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(response, "ok")
	})
	return http.ListenAndServe("127.0.0.1:3990", nil)
}

func hello() error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	http.HandleFunc("/", func(response http.ResponseWriter, _ *http.Request) { fmt.Fprintln(response, "hello from", name) })
	fmt.Println(name, "listens")
	return http.ListenAndServe(":8080", nil)
}
