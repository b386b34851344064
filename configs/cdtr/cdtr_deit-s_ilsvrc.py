# CDTR (Chen et al., TPAMI 2025), DeiT-S/16 at 224 on ILSVRC2012.
_base_ = ['./_base_/deit-s.py', '../catr/_base_/ilsvrc.py']
total_batch_size = 256  # 4 x 64; the learning rate 5e-4 of the command line is for 512 images
model = dict(
    head=dict(
        num_classes=1000,
        c_base=256,
        ocm_blocks=10,  # the paper's text says 6, its table and the code 10
        loss_ocm_s=dict(ratio=0.1, loss_weight=64),
        map_losses=dict(loss_sba=dict(
            text_embeddings='data/clip/ilsvrc_vit-b-32.pt', map_norm='minmax', loss_weight=0.01))),
    map_to_box=dict(threshold=0.19))
train_dataloader = dict(batch_size=total_batch_size)
optim_wrapper = dict(optimizer=dict(lr=2.5e-4))
auto_scale_lr = dict(base_batch_size=total_batch_size)
