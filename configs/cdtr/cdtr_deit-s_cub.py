# CDTR (Chen et al., TPAMI 2025), DeiT-S/16 at 224 on CUB-200-2011.
_base_ = ['./_base_/deit-s.py', '../catr/_base_/cub.py']
model = dict(
    head=dict(
        num_classes=200,
        c_base=8,
        ocm_blocks=9,
        loss_ocm_s=dict(ratio=0.25, loss_weight=128),
        map_losses=dict(loss_sba=dict(
            text_embeddings='data/clip/cub_vit-b-32.pt', map_norm='none', loss_weight=2.4))),
    map_to_box=dict(threshold=0.2))
param_scheduler = dict(end=110)
train_cfg = dict(max_epochs=110)
