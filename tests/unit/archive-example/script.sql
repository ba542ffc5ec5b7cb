--
-- PostgreSQL database dump
--

\restrict IheqHshslL7orHe1cb0PWG05RlfUoe5Dk5JXM4RbfxHTBOQbqOfBgpptGuwHsRq

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

-- Started on 2026-11-21 10:09:01 UTC

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- TOC entry 7 (class 2615 OID 16834)
-- Name: Odd; Schema; Type: SCHEMA; Schema: -; Owner: -
-- Data Pos: 0
--

CREATE SCHEMA "Odd; Schema";


--
-- TOC entry 8 (class 2615 OID 16934)
-- Name: walferry; Type: SCHEMA; Schema: -; Owner: -
-- Data Pos: 0
--

CREATE SCHEMA walferry;


--
-- TOC entry 2 (class 3079 OID 16938)
-- Name: citext; Type: EXTENSION; Schema: -; Owner: -
-- Data Pos: 0
--

CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;


--
-- TOC entry 3542 (class 0 OID 0)
-- Dependencies: 2
-- Name: EXTENSION citext; Type: COMMENT; Schema: -; Owner: -
-- Data Pos: 0
--

COMMENT ON EXTENSION citext IS 'data type for case-insensitive character strings';


--
-- TOC entry 235 (class 1255 OID 16835)
-- Name: fake(); Type: FUNCTION; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE FUNCTION public.fake() RETURNS integer
    LANGUAGE plpgsql
    AS $$ begin
--
-- TOC entry 9 (class 1 OID 1)
-- Name: fake; Type: TABLE; Schema: public; Owner: -
-- Data Pos: 0
--

return 1; end $$;


--
-- TOC entry 236 (class 1255 OID 16928)
-- Name: quick(); Type: FUNCTION; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE FUNCTION public.quick() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin return new; end $$;


--
-- TOC entry 219 (class 1259 OID 16847)
-- Dependencies: 7
-- Name: customer; Type: TABLE; Schema: Odd; Schema; Owner: -
-- Data Pos: 0
--

CREATE TABLE "Odd; Schema".customer (
    id integer NOT NULL
);


--
-- TOC entry 221 (class 1259 OID 16853)
-- Dependencies: 7
-- Name: ta b; Type: TABLE; Schema: Odd; Schema; Owner: -
-- Data Pos: 0
--

CREATE TABLE "Odd; Schema"."ta b" (
    id integer NOT NULL,
    customer bigint
);


--
-- TOC entry 222 (class 1259 OID 16864)
-- Dependencies: 7
-- Name: ta b c; Type: TABLE; Schema: Odd; Schema; Owner: -
-- Data Pos: 0
--

CREATE TABLE "Odd; Schema"."ta b c" (
    a integer,
    b integer
);


--
-- TOC entry 220 (class 1259 OID 16852)
-- Dependencies: 7 221
-- Name: ta b_id_seq; Type: SEQUENCE; Schema: Odd; Schema; Owner: -
-- Data Pos: 0
--

CREATE SEQUENCE "Odd; Schema"."ta b_id_seq"
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- TOC entry 3543 (class 0 OID 0)
-- Dependencies: 220
-- Name: ta b_id_seq; Type: SEQUENCE OWNED BY; Schema: Odd; Schema; Owner: -
-- Data Pos: 0
--

ALTER SEQUENCE "Odd; Schema"."ta b_id_seq" OWNED BY "Odd; Schema"."ta b".id;


--
-- TOC entry 223 (class 1259 OID 16868)
-- Dependencies: 7
-- Name: x; Type: TABLE; Schema: y; Owner: z; Type: TABLE; Schema: Odd; Schema; Owner: -
-- Data Pos: 0
--

CREATE TABLE "Odd; Schema"."x; Type: TABLE; Schema: y; Owner: z" (
    a integer
);


--
-- TOC entry 229 (class 1259 OID 16909)
-- Name: parent; Type: TABLE; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE TABLE public.parent (
    a integer
);


--
-- TOC entry 230 (class 1259 OID 16912)
-- Dependencies: 229
-- Name: child; Type: TABLE; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE TABLE public.child (
)
INHERITS (public.parent);


--
-- TOC entry 218 (class 1259 OID 16837)
-- Name: customer; Type: TABLE; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE TABLE public.customer (
    id bigint NOT NULL,
    mail text,
    n integer
);


--
-- TOC entry 3544 (class 0 OID 0)
-- Dependencies: 218
-- Name: TABLE customer; Type: COMMENT; Schema: public; Owner: -
-- Data Pos: 0
--

COMMENT ON TABLE public.customer IS 'line
--
-- TOC entry 3 (class 1 OID 2)
semi; colon';


--
-- TOC entry 217 (class 1259 OID 16836)
-- Dependencies: 218
-- Name: customer_id_seq; Type: SEQUENCE; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER TABLE public.customer ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.customer_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- TOC entry 232 (class 1259 OID 16919)
-- Name: grouped; Type: VIEW; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE VIEW public.grouped AS
SELECT
    NULL::bigint AS id,
    NULL::text AS mail,
    NULL::integer AS n,
    NULL::bigint AS count;


--
-- TOC entry 233 (class 1259 OID 16923)
-- Dependencies: 232
-- Name: late; Type: MATERIALIZED VIEW; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE MATERIALIZED VIEW public.late AS
 SELECT count(*) AS count
   FROM public.grouped
  WITH NO DATA;


--
-- TOC entry 224 (class 1259 OID 16873)
-- Name: root; Type: TABLE; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE TABLE public.root (
    at integer NOT NULL,
    v integer
)
PARTITION BY RANGE (at);


--
-- TOC entry 225 (class 1259 OID 16878)
-- Dependencies: 224
-- Name: leaf_1; Type: TABLE; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE TABLE public.leaf_1 (
    at integer NOT NULL,
    v integer
);


--
-- TOC entry 226 (class 1259 OID 16883)
-- Dependencies: 224
-- Name: leaf_2; Type: TABLE; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE TABLE public.leaf_2 (
    at integer NOT NULL,
    v integer
);


--
-- TOC entry 231 (class 1259 OID 16915)
-- Dependencies: 218
-- Name: plain; Type: VIEW; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE VIEW public.plain AS
 SELECT customer.id
   FROM public.customer;


--
-- TOC entry 227 (class 1259 OID 16891)
-- Name: pointing; Type: TABLE; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE TABLE public.pointing (
    at integer
);


--
-- TOC entry 228 (class 1259 OID 16905)
-- Dependencies: 220
-- Name: shared; Type: TABLE; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE TABLE public.shared (
    n integer DEFAULT nextval('"Odd; Schema"."ta b_id_seq"'::regclass)
);


--
-- TOC entry 234 (class 1259 OID 16935)
-- Dependencies: 8
-- Name: migration; Type: TABLE; Schema: walferry; Owner: -
-- Data Pos: 0
--

CREATE TABLE walferry.migration (
    id integer
);


--
-- TOC entry 3353 (class 0 OID 0)
-- Dependencies: 225 224
-- Name: leaf_1; Type: TABLE ATTACH; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER TABLE ONLY public.root ATTACH PARTITION public.leaf_1 FOR VALUES FROM (0) TO (10);


--
-- TOC entry 3354 (class 0 OID 0)
-- Dependencies: 226 224
-- Name: leaf_2; Type: TABLE ATTACH; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER TABLE ONLY public.root ATTACH PARTITION public.leaf_2 FOR VALUES FROM (10) TO (20);


--
-- TOC entry 3355 (class 2604 OID 16856)
-- Dependencies: 221 220 221
-- Name: ta b id; Type: DEFAULT; Schema: Odd; Schema; Owner: -
-- Data Pos: 0
--

ALTER TABLE ONLY "Odd; Schema"."ta b" ALTER COLUMN id SET DEFAULT nextval('"Odd; Schema"."ta b_id_seq"'::regclass);


--
-- TOC entry 3363 (class 2606 OID 16851)
-- Dependencies: 219
-- Name: customer customer_pkey; Type: CONSTRAINT; Schema: Odd; Schema; Owner: -
-- Data Pos: 0
--

ALTER TABLE ONLY "Odd; Schema".customer
    ADD CONSTRAINT customer_pkey PRIMARY KEY (id);


--
-- TOC entry 3365 (class 2606 OID 16858)
-- Dependencies: 221
-- Name: ta b ta b_pkey; Type: CONSTRAINT; Schema: Odd; Schema; Owner: -
-- Data Pos: 0
--

ALTER TABLE ONLY "Odd; Schema"."ta b"
    ADD CONSTRAINT "ta b_pkey" PRIMARY KEY (id);


--
-- TOC entry 3368 (class 2606 OID 16872)
-- Dependencies: 223
-- Name: x; Type: TABLE; Schema: y; Owner: z x; Type: TABLE; Schema: y; Owner: z_a_key; Type: CONSTRAINT; Schema: Odd; Schema; Owner: -
-- Data Pos: 0
--

ALTER TABLE ONLY "Odd; Schema"."x; Type: TABLE; Schema: y; Owner: z"
    ADD CONSTRAINT "x; Type: TABLE; Schema: y; Owner: z_a_key" UNIQUE (a);


--
-- TOC entry 3359 (class 2606 OID 16845)
-- Dependencies: 218
-- Name: customer customer_mail_key; Type: CONSTRAINT; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER TABLE ONLY public.customer
    ADD CONSTRAINT customer_mail_key UNIQUE (mail);


--
-- TOC entry 3361 (class 2606 OID 16843)
-- Dependencies: 218
-- Name: customer customer_pkey; Type: CONSTRAINT; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER TABLE ONLY public.customer
    ADD CONSTRAINT customer_pkey PRIMARY KEY (id);


--
-- TOC entry 3370 (class 2606 OID 16877)
-- Dependencies: 224
-- Name: root root_pkey; Type: CONSTRAINT; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER TABLE ONLY public.root
    ADD CONSTRAINT root_pkey PRIMARY KEY (at);


--
-- TOC entry 3373 (class 2606 OID 16882)
-- Dependencies: 225 225 3370
-- Name: leaf_1 leaf_1_pkey; Type: CONSTRAINT; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER TABLE ONLY public.leaf_1
    ADD CONSTRAINT leaf_1_pkey PRIMARY KEY (at);


--
-- TOC entry 3376 (class 2606 OID 16887)
-- Dependencies: 226 3370 226
-- Name: leaf_2 leaf_2_pkey; Type: CONSTRAINT; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER TABLE ONLY public.leaf_2
    ADD CONSTRAINT leaf_2_pkey PRIMARY KEY (at);


--
-- TOC entry 3357 (class 2606 OID 16846)
-- Dependencies: 218 218
-- Name: customer old_rows; Type: CHECK CONSTRAINT; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER TABLE public.customer
    ADD CONSTRAINT old_rows CHECK ((n > 0)) NOT VALID;


--
-- TOC entry 3366 (class 1259 OID 16867)
-- Dependencies: 222
-- Name: b c; Type: INDEX; Schema: Odd; Schema; Owner: -
-- Data Pos: 0
--

CREATE INDEX "b c" ON "Odd; Schema"."ta b c" USING btree (a);


--
-- TOC entry 3378 (class 1259 OID 16927)
-- Dependencies: 233
-- Name: late_i; Type: INDEX; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE INDEX late_i ON public.late USING btree (count);


--
-- TOC entry 3371 (class 1259 OID 16888)
-- Dependencies: 224
-- Name: root_v_idx; Type: INDEX; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE INDEX root_v_idx ON ONLY public.root USING btree (v);


--
-- TOC entry 3374 (class 1259 OID 16889)
-- Dependencies: 225 225 3371
-- Name: leaf_1_v_idx; Type: INDEX; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE INDEX leaf_1_v_idx ON public.leaf_1 USING btree (v);


--
-- TOC entry 3377 (class 1259 OID 16890)
-- Dependencies: 226 226 3371
-- Name: leaf_2_v_idx; Type: INDEX; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE INDEX leaf_2_v_idx ON public.leaf_2 USING btree (v);


--
-- TOC entry 3379 (class 0 OID 0)
-- Dependencies: 225 3373 3370 3370 225 224
-- Name: leaf_1_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER INDEX public.root_pkey ATTACH PARTITION public.leaf_1_pkey;


--
-- TOC entry 3380 (class 0 OID 0)
-- Dependencies: 3374 3371 225 224
-- Name: leaf_1_v_idx; Type: INDEX ATTACH; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER INDEX public.root_v_idx ATTACH PARTITION public.leaf_1_v_idx;


--
-- TOC entry 3381 (class 0 OID 0)
-- Dependencies: 3370 226 3376 3370 226 224
-- Name: leaf_2_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER INDEX public.root_pkey ATTACH PARTITION public.leaf_2_pkey;


--
-- TOC entry 3382 (class 0 OID 0)
-- Dependencies: 3377 3371 226 224
-- Name: leaf_2_v_idx; Type: INDEX ATTACH; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER INDEX public.root_v_idx ATTACH PARTITION public.leaf_2_v_idx;


--
-- TOC entry 3383 (class 3381 OID 16931)
-- Dependencies: 218 218
-- Name: st; Type: STATISTICS; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE STATISTICS public.st ON id, n FROM public.customer;


--
-- TOC entry 3530 (class 2618 OID 16922)
-- Dependencies: 218 3361 218 218 232
-- Name: grouped _RETURN; Type: RULE; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE OR REPLACE VIEW public.grouped AS
 SELECT c.id,
    c.mail,
    c.n,
    count(*) AS count
   FROM public.customer c
  GROUP BY c.id;


--
-- TOC entry 3386 (class 2620 OID 16929)
-- Dependencies: 218 236
-- Name: customer t; Type: TRIGGER; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE TRIGGER t BEFORE INSERT ON public.customer FOR EACH ROW EXECUTE FUNCTION public.quick();


--
-- TOC entry 3384 (class 2606 OID 16859)
-- Dependencies: 218 3361 221
-- Name: ta b ta b_customer_fkey; Type: FK CONSTRAINT; Schema: Odd; Schema; Owner: -
-- Data Pos: 0
--

ALTER TABLE ONLY "Odd; Schema"."ta b"
    ADD CONSTRAINT "ta b_customer_fkey" FOREIGN KEY (customer) REFERENCES public.customer(id);


--
-- TOC entry 3385 (class 2606 OID 16894)
-- Dependencies: 3379 3381 224 227 3370
-- Name: pointing pointing_at_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER TABLE ONLY public.pointing
    ADD CONSTRAINT pointing_at_fkey FOREIGN KEY (at) REFERENCES public.root(at);


--
-- TOC entry 3532 (class 0 OID 16837)
-- Dependencies: 218
-- Name: customer; Type: ROW SECURITY; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER TABLE public.customer ENABLE ROW LEVEL SECURITY;

--
-- TOC entry 3533 (class 3256 OID 16930)
-- Dependencies: 218
-- Name: customer p; Type: POLICY; Schema: public; Owner: -
-- Data Pos: 0
--

CREATE POLICY p ON public.customer USING (true);


--
-- TOC entry 3534 (class 6104 OID 16932)
-- Name: pub; Type: PUBLICATION; Schema: -; Owner: -
-- Data Pos: 0
--

CREATE PUBLICATION pub WITH (publish = 'insert, update, delete, truncate');


--
-- TOC entry 3535 (class 6106 OID 16933)
-- Dependencies: 218 3534
-- Name: pub customer; Type: PUBLICATION TABLE; Schema: public; Owner: -
-- Data Pos: 0
--

ALTER PUBLICATION pub ADD TABLE ONLY public.customer;


--
-- TOC entry 3545 (class 0 OID 0)
-- Dependencies: 218
-- Name: TABLE customer; Type: ACL; Schema: public; Owner: -
-- Data Pos: 0
--

GRANT SELECT ON TABLE public.customer TO PUBLIC;


-- Completed on 2026-11-21 10:09:02 UTC

--
-- PostgreSQL database dump complete
--

\unrestrict IheqHshslL7orHe1cb0PWG05RlfUoe5Dk5JXM4RbfxHTBOQbqOfBgpptGuwHsRq

