//! The circuits of a tree, their keys, and proofs of their nodes.

use std::sync::Arc;

use openvm_continuations::circuit::inner::bus::PvsAirConsistencyBus;
use openvm_continuations::circuit::inner::{ProofsType, unset, verifier};
use openvm_cpu_backend::CpuBackend;
use openvm_recursion_circuit::system::{
    AggregationSubCircuit, CachedTraceCtx, VerifierConfig, VerifierExternalData,
    VerifierSubCircuit, VerifierTraceGen,
};
use openvm_stark_backend::interaction::PermutationCheckBus;
use openvm_stark_backend::keygen::MultiStarkKeygenBuilder;
use openvm_stark_backend::keygen::types::MultiStarkVerifyingKey;
use openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
use openvm_stark_backend::proof::Proof;
use openvm_stark_backend::prover::{
    AirProvingContext, CommittedTraceData, DeviceDataTransporter, DeviceMultiStarkProvingKey,
    ProvingContext,
};
use openvm_stark_backend::{AirRef, StarkEngine, SystemParams};
use openvm_stark_sdk::config::baby_bear_poseidon2::{Digest, F, default_duplex_sponge_recorder};
use openvm_verify_stark_host::pvs::VkCommit;

use super::airs::{Buses, NODE_VALUES, NodesAir, SegmentsAir, Stated};
use super::shapes::ShapesAir;
use crate::errors::{Kind, Outcome};
use crate::keys::VerifyingKey;
use crate::params::{Config, Engine};
use crate::prove::{Choice, run};

/// Children of a node, at most.
pub const MAX_CHILDREN: usize = 4;

type Backend = CpuBackend<Config>;
type Key = MultiStarkVerifyingKey<Config>;
type Circuit = VerifierSubCircuit<MAX_CHILDREN>;

/// A circuit that verifies proofs of one key, and its own keys.
pub struct Node {
    circuit: Circuit,
    /// Where the engine's table of shapes stands among those of the circuit.
    shapes: usize,
    child: Committed,
    /// Only of the circuit that verifies itself.
    itself: Option<Committed>,
    stated: Option<Stated>,
    proving: DeviceMultiStarkProvingKey<Backend>,
    pub verifying: VerifyingKey,
}

/// The key of children, as the circuit that verifies them holds it: its expressions are a committed table.
struct Committed {
    key: Arc<Key>,
    table: CommittedTraceData<Backend>,
}

impl Committed {
    fn commit(&self) -> VkCommit<F> {
        VkCommit {
            cached_commit: self.table.commitment,
            vk_pre_hash: self.key.pre_hash,
        }
    }
}

/// What the children of a node are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Children {
    /// Segments, with the running hash before the first one.
    Segments { before: Digest },
    /// Nodes of the layer below, which follow each other.
    Nodes,
    /// Nodes of this layer, which are joined or follow each other.
    Itself { joined: bool },
}

fn airs(circuit: &Circuit, stated: Option<&Stated>) -> Vec<AirRef<Config>> {
    let bus = circuit.bus_inventory();
    let consistency = PvsAirConsistencyBus::new(circuit.next_bus_idx());
    let buses = Buses {
        public_values: bus.public_values_bus,
        compress: bus.poseidon2_compress_bus,
        consistency,
        presence: bus.air_presence_bus,
        place: bus.air_shape_bus,
        height: bus.hyperdim_bus,
        shape: PermutationCheckBus::new(circuit.next_bus_idx() + 1),
    };
    // The first table expects that of expressions as the fourth one: in an internal node one holds a place.
    let own: [AirRef<Config>; 2] = match stated {
        Some(stated) => [
            Arc::new(SegmentsAir {
                buses,
                stated: stated.clone(),
            }),
            Arc::new(ShapesAir {
                buses,
                stated: stated.clone(),
            }),
        ],
        None => [
            Arc::new(NodesAir { buses }),
            Arc::new(unset::UnsetPvsAir {
                public_values_bus: bus.public_values_bus,
                pvs_air_consistency_bus: consistency,
                air_idx: 0,
                num_pvs: 0,
                def_flag: 0,
            }),
        ],
    };
    let about_keys: AirRef<Config> = Arc::new(verifier::VerifierPvsAir {
        public_values_bus: bus.public_values_bus,
        cached_commit_bus: bus.cached_commit_bus,
        pre_hash_bus: bus.pre_hash_bus,
        range_bus: bus.range_checker_bus,
        pvs_air_consistency_bus: consistency,
        deferral_config: verifier::VerifierDeferralConfig::Disabled,
    });
    [about_keys]
        .into_iter()
        .chain(own)
        .chain(circuit.airs::<Config>())
        .collect()
}

/// Of each proof log2 of the rows of its tables; none of one that is absent.
fn heights_of(proofs: &[Proof<Config>]) -> Vec<Vec<Option<usize>>> {
    let of_tables = proofs.iter().map(|proof| proof.trace_vdata.iter());
    of_tables
        .map(|tables| {
            tables
                .map(|table| table.as_ref().map(|table| table.log_height))
                .collect()
        })
        .collect()
}

impl Node {
    /// Makes the keys of the circuit that verifies proofs of `child`.
    ///
    /// A leaf is told where segments state something. The circuit that is `recursive` verifies itself, too.
    pub fn new(
        child: Arc<Key>,
        params: SystemParams,
        stated: Option<Stated>,
        recursive: bool,
    ) -> Outcome<Self> {
        let config = VerifierConfig {
            continuations_enabled: true,
            ..Default::default()
        };
        let circuit = Circuit::new_with_options(child.clone(), config);
        let shapes = circuit
            .airs::<Config>()
            .iter()
            .position(|air| air.name().contains("ProofShapeAir"))
            .ok_or_else(|| Kind::Circuit.failure("the engine's circuit has no table of shapes"))?;
        let engine = Engine::new(params);
        let mut builder = MultiStarkKeygenBuilder::new(engine.config().clone());
        for air in airs(&circuit, stated.as_ref()) {
            builder.add_air(air);
        }
        let proving = builder
            .generate_pk()
            .map_err(|error| Kind::Circuit.failure(error))?;
        let key = Arc::new(proving.get_vk());
        let proving = engine.device().transport_pk_to_device(&proving);
        let committed = |key: &Arc<Key>| Committed {
            table: VerifierTraceGen::<Backend, Config, ()>::commit_child_vk(&circuit, &engine, key),
            key: key.clone(),
        };
        let (child, itself) = (committed(&child), recursive.then(|| committed(&key)));
        Ok(Self {
            circuit,
            shapes,
            child,
            itself,
            stated,
            proving,
            verifying: VerifyingKey { engine, inner: key },
        })
    }

    /// What proofs of the children commit to of their key.
    pub fn child_commit(&self) -> VkCommit<F> {
        self.child.commit()
    }

    /// The same of its own key, where it verifies itself.
    pub fn own_commit(&self) -> Option<VkCommit<F>> {
        self.itself.as_ref().map(Committed::commit)
    }

    /// Proves that the children verify and follow each other; call it inside a thread pool.
    pub fn prove(&self, proofs: &[Proof<Config>], children: Children) -> Outcome<Vec<u8>> {
        if !(1..=MAX_CHILDREN).contains(&proofs.len()) {
            return Kind::Parameter.fail(format_args!(
                "{} children, expected 1 to {MAX_CHILDREN}",
                proofs.len()
            ));
        }
        let committed = match children {
            Children::Itself { .. } => match &self.itself {
                Some(itself) => itself,
                None => return Kind::Parameter.fail("this circuit does not verify itself"),
            },
            _ => &self.child,
        };
        let context = self.context(proofs, children, committed)?;
        let engine = &self.verifying.engine;
        let (bytes, _) = run(engine, &self.proving, context, Choice::Own)?;
        // Tables that break a constraint go unnoticed until here: of children that do not verify or follow each other.
        crate::verify::check(&self.verifying, &bytes).map_err(|failure| {
            Kind::Proving.failure(format_args!(
                "the children are refused: {}",
                failure.message
            ))
        })?;
        Ok(bytes)
    }

    fn context(
        &self,
        proofs: &[Proof<Config>],
        children: Children,
        committed: &Committed,
    ) -> Outcome<ProvingContext<Backend>> {
        let of_segments = matches!(children, Children::Segments { .. });
        let data = verifier::generate_proving_ctx(
            proofs,
            ProofsType::Vm,
            of_segments,
            committed.commit(),
            false,
        );
        let mut compressed = data.poseidon2_compress_inputs;
        let values: Vec<&[Vec<F>]> = proofs.iter().map(|p| p.public_values.as_slice()).collect();
        let (cells, public, second) = match (children, &self.stated) {
            (Children::Segments { before }, Some(stated)) => {
                let (shapes, hashes) =
                    ShapesAir::fill(stated, &heights_of(proofs), &mut compressed);
                let (cells, public) =
                    SegmentsAir::fill(stated, &values, &hashes, before, &mut compressed);
                let shapes = RowMajorMatrix::new(shapes, ShapesAir::WIDTH);
                (cells, public, AirProvingContext::simple_no_pis(shapes))
            }
            (Children::Nodes | Children::Itself { .. }, None) => {
                let joins = matches!(children, Children::Itself { joined: true });
                let (cells, public) = NodesAir::fill(&values, joins, &mut compressed);
                let placeholder = unset::generate_proving_ctx(&[], of_segments);
                (cells, public, placeholder)
            }
            _ => return Kind::Parameter.fail("children of another layer"),
        };
        debug_assert_eq!(public.len(), NODE_VALUES);
        let width = cells.len() / proofs.len().next_power_of_two();
        let own = AirProvingContext {
            cached_mains: vec![],
            common_main: RowMajorMatrix::new(cells, width),
            public_values: public,
        };
        let mut external = VerifierExternalData {
            poseidon2_compress_inputs: &compressed,
            poseidon2_permute_inputs: &data.poseidon2_permute_inputs,
            range_check_inputs: &data.range_check_inputs,
            power_check_inputs: &vec![],
            required_heights: None,
            final_transcript_state: None,
        };
        let mut verifying: Vec<AirProvingContext<Backend>> = self
            .circuit
            .generate_proving_ctxs(
                &committed.key,
                CachedTraceCtx::PcsData(committed.table.clone()),
                proofs,
                &mut external,
                &(),
                default_duplex_sponge_recorder(),
            )
            .ok_or_else(|| Kind::Proving.failure("the children need other heights"))?;
        if of_segments {
            ShapesAir::ask(&mut verifying[self.shapes].common_main);
        }
        let all = [data.air_proving_ctx, own, second];
        Ok(ProvingContext::new(
            all.into_iter().chain(verifying).enumerate().collect(),
        ))
    }
}
