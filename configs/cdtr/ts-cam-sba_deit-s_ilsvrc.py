# TS-CAM with CDTR's SBA (Table X) on ILSVRC2012: the settings of TS-CAM, alpha and normalization of CDTR. No code is
# published; the mask is the map of the label as TS-CAM makes it.
_base_ = ['../ts-cam/ts-cam_deit-s_ilsvrc.py']
model = dict(
    backbone=dict(tap_in_train=True),
    head=dict(
        map_losses=dict(loss_sba=dict(
            type='mmwsol.SemanticBoostLoss',
            text_embeddings='data/clip/ilsvrc_vit-b-32.pt',
            map_norm='minmax',
            loss_weight=0.01))))
